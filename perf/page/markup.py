"""The one place where text becomes markup: whatever is not Html is made visible, then escaped."""

import html
import re
import unicodedata
from collections.abc import Iterable
from typing import TypeAlias

VOID = frozenset(("br", "input", "link", "meta", "wbr"))
EMPTY_SHAPES = frozenset(("circle", "line", "path", "use"))  # of SVG, which closes them in place
JOINERS = "\u200c\u200d"  # zero width, and part of how Persian, Indic and emoji names are written
WORDS = re.compile(r"(?<=\w)(?=[A-Z][a-z])|(?=[_\[,·@])")  # before a new word of a target's name
BARE = re.compile(r"[A-Za-z0-9_.#%-]+")  # what needs no quotes as an attribute's value
REPLACEMENT = "\ufffd"


class Html(str):
    """Markup, made by this module alone; a plain str is text wherever it stands."""

    __slots__ = ()


Node: TypeAlias = Html | str | int | float | None
Attribute: TypeAlias = str | int | float | bool | None


def tag(name: str, /, *children: Node, **attributes: Attribute) -> Html:
    """An element. `class_` is class, data_v is data-v; False and None leave an attribute out."""
    begin = f"<{name}{''.join(_attribute(k, v) for k, v in attributes.items())}"
    if name in VOID:
        return Html(f"{begin}>")
    if name in EMPTY_SHAPES and not children:
        return Html(f"{begin}/>" if begin.endswith('"') else f"{begin} />")
    return Html(f"{begin}>{joined(children)}</{name}>")


def joined(children: Iterable[Node]) -> Html:
    """Nodes one after another; None is nothing."""
    return Html("".join(_node(c) for c in children))


def raw(trusted: str) -> Html:
    """Text of our own files as markup: a style sheet, a script. Never what a run told."""
    return Html(trusted)


def isolated(text: str, **attributes: Attribute) -> Html:
    """A name of whatever direction, which cannot reorder what stands around it."""
    return tag("bdi", text, **attributes)


def breakable(name: str) -> Html:
    """A name that may be broken where its words meet: TensorrtExecutionProvider_fp16[io=device].

    For headings of rows and columns, which the style sheet isolates as `isolated` does a name in a line.
    """
    first, *rest = WORDS.split(name)
    return joined((first, *(node for word in rest for node in (Html("<wbr>"), word))))


def visible(text: str) -> str:
    """Text in which nothing is hidden: controls, marks that reorder, and halves of characters are shown."""
    if text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(c: str) -> str:
    if c.isprintable() or c in "\n\t" or c in JOINERS:
        return c
    code, category = ord(c), unicodedata.category(c)
    if category in ("Zl", "Zp"):
        return " "
    if category in ("Cc", "Cf"):
        return f"<U+{code:04X}>"
    return REPLACEMENT if category == "Cs" or code & 0xFFFE == 0xFFFE else c


def _node(child: Node) -> str:
    if child is None:
        return ""
    if isinstance(child, Html):
        return child
    return html.escape(visible(str(child)), quote=False)


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    spelled = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {spelled}"
    text = str(value)
    if BARE.fullmatch(text):
        return f" {spelled}={text}"
    return f' {spelled}="{html.escape(visible(text), quote=True)}"'
