"""What reads bytes from outside, and a fuzzer that follows coverage for each: `make fuzz`.

`corpus/` holds inputs that reached something which no other reached, and those of past findings, a
file for each target, a line in base64 for each input.
"""
