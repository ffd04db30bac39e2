"""Makes a converted branch as lean as its mathematics, and safe for ONNX Runtime's default settings.

Each pass keeps the function; parity with Keras is measured afterwards on the finished detector.
"""

import onnx
import onnxsim

from exporter.head import fold_head
from exporter.layout import hoist_transposes
from exporter.padded_maximum import replace_zero_padded_maximum
from exporter.resize import settle_resizes
from exporter.rewrite import Rewriter, forget_shapes
from exporter.zero_rows import convolve_constants, fill_recurrent, settle_reshapes


def clean(branch: onnx.ModelProto) -> onnx.ModelProto:
    """Gives a simplified copy of a branch (as `exporter.keras_to_onnx.convert` made it)."""
    # onnxsim folds constants and batch normalisations, and merges transposes and reshapes.
    simplified: onnx.ModelProto = onnxsim.simplify(branch)[0]
    for rewrite in (
        settle_reshapes,
        hoist_transposes,
        fold_head,
        replace_zero_padded_maximum,
        convolve_constants,
        fill_recurrent,
        settle_resizes,
    ):
        rewriter = Rewriter(simplified)
        rewrite(rewriter)
        rewriter.drop_unused()
    for node in simplified.graph.node:
        # What works on the result tells nodes apart by their names.
        node.name = node.name or next(filter(None, node.output))
    forget_shapes(simplified)
    return simplified
