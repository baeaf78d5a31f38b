"""What a page shows of a recording, an archive, runs or a bitstream, one file per part."""
