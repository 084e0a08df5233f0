"""DICOM series: read to volumes, label maps written beside them as DICOM-SEG or RTSTRUCT.

A series is a set of files, one plane or several each; nothing in it says that its planes make a
volume. So every header is read first and the planes are put into one grid, or refused with what
stands in the way, before any pixel is decoded. pydicom is imported when the first series is read.
"""
