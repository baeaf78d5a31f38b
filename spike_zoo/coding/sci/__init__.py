"""Container, header, frequency tables and range coder of ``.sci`` bitstreams."""
