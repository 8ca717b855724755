"""What travels: the trainable tensors by name, in the encoding that the round asks for."""
