"""Lossless coding of spike recordings (``.spl``)."""
