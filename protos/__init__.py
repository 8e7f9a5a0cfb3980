"""What crosses a wire: the .proto files and the code generated from them."""
