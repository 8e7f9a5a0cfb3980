"""The hot path: attention, experts, dispatch codec, vector scan. Each op is a folder with one
signature.
"""
