"""How stored numbers look: bits, and the scales that groups of them share.

fp8 blocks: DeepSeek-V3, arXiv 2412.19437, section 3.3.2. mxfp4, mxfp8: OCP Microscaling Formats,
version 1.0 (one E8M0 byte for 32 numbers). nvfp4: one E4M3 byte for 16 numbers, one fp32 a matrix.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """group_rows, group_columns   of a matrix that share a scale; 0: all of them
    scale_bytes     of each group's scale        matrix_bytes   beside, for the whole matrix
    """

    name: str
    bits: int
    group_rows: int = 0
    group_columns: int = 0
    scale_bytes: int = 0
    matrix_bytes: int = 0

    def num_bytes(self, rows: int, columns: int) -> int:
        """Of a matrix and its scales; the last group of a row or column may be smaller."""
        down = -(-rows // self.group_rows) if self.group_rows else 1
        across = -(-columns // self.group_columns) if self.group_columns else 1
        scales = down * across * self.scale_bytes + self.matrix_bytes
        return -(-rows * columns * self.bits // 8) + scales

    def __str__(self) -> str:
        return self.name


FP32, BF16, FP16 = Format("fp32", 32), Format("bf16", 16), Format("fp16", 16)
MXFP4 = Format("mxfp4", 4, 1, 32, 1)
MXFP8 = Format("mxfp8", 8, 1, 32, 1)
NVFP4 = Format("nvfp4", 4, 1, 16, 1, 4)
FP8_TENSOR = Format("fp8 (a scale per tensor)", 8, scale_bytes=4)
FP8_ROW = Format("fp8 (a scale per row)", 8, 1, 0, 4)

WIDE = {"float32": FP32, "bfloat16": BF16, "float16": FP16}


def fp8_blocks(rows: int, columns: int, scale_bytes: int = 4) -> Format:
    return Format(f"fp8 (blocks of {rows} x {columns})", 8, rows, columns, scale_bytes)


def int_groups(bits: int, columns: int, scale_bytes: int = 2) -> Format:
    """Symmetric integers with a bf16 scale for so many of a row; 0: a whole row."""
    per = f"groups of {columns}" if columns else "a scale per row"
    return Format(f"int{bits} ({per})", bits, 1, columns, scale_bytes)


def fp4_groups(columns: int, scale_bytes: int) -> Format:
    return Format(f"fp4 (groups of {columns})", 4, 1, columns, scale_bytes)
