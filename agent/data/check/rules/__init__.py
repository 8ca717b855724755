"""What is looked for, a subject a file. Pure: arrays in, findings out."""
