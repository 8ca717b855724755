"""The gate of data: what is wrong with a data set's episodes, and whether they may be used."""
