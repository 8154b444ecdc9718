"""Precision read from inspector JSON and ORT profiles, recorded by hand from their documented formats."""

import json
from pathlib import Path

import pytest

from perf.measure import layer_precision

RECORDED = Path(__file__).parents[1] / "fakes" / "trtexec" / "recorded"
LAYERS = (RECORDED / "layers_10.6_fp16.json").read_text()
TIMES = (RECORDED / "layer_times_10.6.json").read_text()


def layer(**fields: object) -> str:
    return json.dumps([{"Name": "a", "LayerType": "CaskConvolution", **fields}])


def only(text: str) -> str:
    (found,) = layer_precision.read_layers(text)
    return found.precision


def test_shares_of_layers_and_of_time_that_computed_in_half() -> None:
    got = layer_precision.precision_of_engine(LAYERS, TIMES, "fp16", "weakly typed")
    assert got is not None
    assert got.layer_share == pytest.approx(2 / 3)  # the reformat computes nothing
    assert got.time_share == pytest.approx((0.15 + 0.03) / (0.15 + 0.03 + 0.06))
    assert got.source == "engine inspector: 2 fp16, 1 fp32"
    assert (got.precision, got.regime) == ("fp16", "weakly typed")


def test_without_times_the_time_share_is_unknown() -> None:
    got = layer_precision.precision_of_engine(LAYERS, "", "fp32", "")
    assert got is not None
    assert got.layer_share == pytest.approx(1 / 3)
    assert got.time_share is None


@pytest.mark.parametrize(
    ("told", "precision"),
    [
        ("Row major linear FP32", "fp32"),
        ("Row major linear FP16 format", "fp16"),
        ("Channel major FP16 format where channel % 8 == 0", "fp16"),
        ("Thirty-two wide channel vectorized row major Int8 format.", "int8"),
        ("Half", "fp16"),
        ("Float", "fp32"),
        ("BFloat16", "bf16"),
        ("FP8 E4M3", "fp8"),
        ("N/A due to dynamic shapes", ""),
        ("Int32", ""),
    ],
)
def test_every_spelling_of_a_type(told: str, precision: str) -> None:
    assert only(layer(Inputs=[{"Name": "x", "Format/Datatype": told}])) == precision
    assert only(layer(Inputs=[{"Name": "x", "Datatype": told, "Format": "Linear"}])) == precision


@pytest.mark.parametrize(
    ("tactic", "precision"),
    [
        (
            "sm80_xmma_fprop_implicit_gemm_f16f16_f16f32_f32_nhwckrsc_nhwc_tilesize128x64x32",
            "fp16",
        ),
        ("sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32_nchw_vect_c_32kcrs", "int8"),
        (
            "sm80_xmma_fprop_implicit_gemm_tf32f32_tf32f32_f32_nhwckrsc_nchw_tilesize128x128x16",
            "tf32",
        ),
        ("sm80_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize64x64x64_stage6", "bf16"),
        ("sm80_xmma_fprop_implicit_gemm_indexed_f32f32_f32f32_f32_nchwkcrs_nchw", "fp32"),
        ("ampere_scudnn_128x64_relu_medium_nn_v1", "fp32"),
        ("__myl_CastMulAddMean_0x6f1a", ""),
    ],
)
def test_a_kernel_s_name_tells_where_dynamic_shapes_hide_the_formats(
    tactic: str, precision: str
) -> None:
    hidden = [{"Name": "x", "Format/Datatype": "N/A due to dynamic shapes"}]
    assert only(layer(Inputs=hidden, Outputs=hidden, TacticName=tactic)) == precision


def test_weights_win_and_a_mixed_kernel_computes_in_the_wider() -> None:
    mixed = [{"Format/Datatype": "Half"}, {"Format/Datatype": "Float"}]
    assert only(layer(Inputs=mixed)) == "fp32"
    assert only(layer(Inputs=mixed, Weights={"Type": "Half", "Count": 9})) == "fp16"


def test_tf32_counts_as_fp32_only_where_it_was_allowed() -> None:
    text = layer(TacticName="sm80_xmma_gemm_tf32f32_tf32f32_f32_tn_n")
    strict = layer_precision.precision_of_engine(text, "", "fp32", "")
    allowed = layer_precision.precision_of_engine(text, "", "fp32", "", tf32=True)
    assert strict is not None
    assert allowed is not None
    assert (strict.layer_share, allowed.layer_share) == (0.0, 1.0)
    assert strict.source == "engine inspector: 1 tf32"


def test_8_2_s_small_letters() -> None:
    text = json.dumps(
        {
            "layers": [
                {
                    "name": "c",
                    "layerType": "CaskConvolution",
                    "weights": {"type": "Int8", "count": 1},
                }
            ]
        }
    )
    assert only(text) == "int8"


def test_names_alone_prove_nothing() -> None:
    assert (
        layer_precision.precision_of_engine(
            json.dumps({"Layers": ["conv1", "relu1"]}), "", "fp16", ""
        )
        is None
    )
    assert layer_precision.precision_of_engine('{"Layers": []}', "", "fp16", "") is None


@pytest.mark.parametrize("text", [LAYERS[:400], "", "{}", '"x"'])
def test_what_is_no_layer_info_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="layer info"):
        layer_precision.precision_of_engine(text, "", "fp16", "")


def test_torn_times_are_refused() -> None:
    with pytest.raises(ValueError, match="layer times are torn"):
        layer_precision.precision_of_engine(LAYERS, TIMES[:90], "fp16", "")


def kernel(name: str, dur: int, *types: str) -> dict[str, object]:
    return {
        "cat": "Node", "name": f"{name}_kernel_time", "dur": dur, "ts": 0, "tid": 1,
        "args": {"input_type_shape": [{t: [1]} for t in types]},
    }  # fmt: skip


def test_ort_s_profile_by_the_types_of_its_kernels() -> None:
    events = [
        kernel("conv", 999, "float16", "float16"),  # the first run: allocates
        kernel("conv", 60, "float16", "float16"),
        kernel("softmax", 40, "float"),
        kernel("shape", 10, "int64"),
        {"cat": "Session", "name": "model_run", "dur": 110, "ts": 0, "tid": 1},
    ]
    got = layer_precision.precision_of_profile(json.dumps(events), "fp16")
    assert got is not None
    assert (got.layer_share, got.time_share) == (0.5, 0.6)
    assert (
        layer_precision.precision_of_profile(json.dumps([kernel("shape", 10, "int64")]), "fp16")
        is None
    )
