"""The small language of -k, against Python's own logic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perf.request.cell_filter import compile_filter
from perf.request.options import BadRequestError

ID = "squeezenet::CUDAExecutionProvider_fp16[io=device]"
WORDS = st.sampled_from(["squeeze", "CUDA", "_fp16", "resnet", "io=device", "Tensorrt"])
EXPRESSIONS = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        inner.map(lambda x: f"not {x}"),
        inner.map(lambda x: f"({x})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join),
    ),
    max_leaves=8,
)


@given(EXPRESSIONS)
def test_an_expression_means_what_python_would_mean(text: str) -> None:
    spaced = text.replace("(", " ( ").replace(")", " ) ").split()
    python = [
        w if w in ("and", "or", "not", "(", ")") else repr(w.lower() in ID.lower()) for w in spaced
    ]
    assert compile_filter(text)(ID) == eval(" ".join(python))  # noqa: S307


@pytest.mark.parametrize("text", ["", "   ", "squeezenet", "SQUEEZE and fp16", "not resnet"])
def test_what_matches(text: str) -> None:
    assert compile_filter(text)(ID)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("and", "a word is missing"),
        ("a and", "a word is missing"),
        ("not", "a word is missing"),
        ("(a", r"a '\)' is missing"),
        ("a)", "nothing joins '\\)'"),
        ("a b", "nothing joins 'b'"),
        ("()", "a word is missing"),
    ],
)
def test_what_cannot_be_read_says_where(text: str, says: str) -> None:
    with pytest.raises(BadRequestError, match=says):
        compile_filter(text)


@pytest.mark.parametrize("text", ["(" * 5000 + "a" + ")" * 5000, "not " * 5001 + "a"])
def test_an_expression_nested_beyond_reason_is_refused(text: str) -> None:
    with pytest.raises(BadRequestError, match="nested more than 100 deep") as e:
        compile_filter(text)
    assert len(str(e.value)) < 200


def test_an_expression_of_thousands_of_words_is_understood() -> None:
    assert compile_filter(" or ".join(["resnet"] * 20000 + ["squeeze"]))(ID)
    assert compile_filter(" and ".join(["squeeze"] * 20000))(ID)
