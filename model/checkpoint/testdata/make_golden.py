"""Writes python.safetensors, which the tests read. Made with safetensors 0.8.0 and numpy 2.4.6:

    python make_golden.py
"""
import os

import numpy as np
from safetensors.numpy import save_file

save_file(
    {
        "f32": np.arange(6, dtype=np.float32).reshape(2, 3) / 4,
        "f64": np.array([np.pi, -1e300], dtype=np.float64),
        "i64": np.array([[-(2**62)], [7]], dtype=np.int64),
        "i32": np.array([-5, 5, 55], dtype=np.int32),
        "u8": np.array([0, 255, 3], dtype=np.uint8),
        "scalar": np.array(2.5, dtype=np.float32),
        "empty": np.zeros((0, 4), dtype=np.float32),
        "λ.weight": np.array([1.0], dtype=np.float32),
    },
    os.path.join(os.path.dirname(os.path.abspath(__file__)), "python.safetensors"),
    metadata={"format": "np", "note": "γ‖ω−θ‖²"},
)
