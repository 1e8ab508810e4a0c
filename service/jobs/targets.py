"""What a fit is to learn: its classes in their order, the rows' labels, and what is known of classes beforehand."""

from dataclasses import dataclass

import numpy as np

from adapters.base import F64, I64, Mask, Method, Need, Parent
from adapters.dataset import encode_label_sets, encode_labels
from adapters.errors import RequirementMissing
from adapters.heads import read_tables
from adapters.methods import parse_method
from adapters.signatures import Signatures
from service.jobs.order import Order
from service.registry.items import Packed
from service.store.blobs import Blobs


@dataclass(frozen=True)
class Targets:
    """What is learned.

    Attributes:
        classes, y: As in `adapters.base.Task`.
        parent: The version that it grows from, or whose answers it averages; None where there is none.
        signatures: Of the classes, in their order; of marks whose names are attributes those of the classes that are
            answered. None where there are none.
    """

    classes: tuple[str, ...]
    y: I64 | F64 | Mask
    parent: Parent | None = None
    signatures: Signatures | None = None


def targets(order: Order, items: Packed, blobs: Blobs) -> Targets:
    """What a fit is to learn.

    Raises:
        RequirementMissing: A class of the rows, or of the parent, is not among the signatures.
    """
    parent = _parent(order, blobs)
    known = () if parent is None else parent.classes
    if items.targets is not None:
        return Targets((), items.targets, parent)
    signatures = Signatures.from_bytes(blobs.get(order.signatures_blob)) if order.signatures_blob else None
    if signatures is None:
        return _plain(items, known, parent)
    if items.label_sets is not None:
        return _of_attributes(items.label_sets, signatures)
    if not answers_all(parse_method(order.method)):
        plain = _plain(items, known, parent)
        return Targets(plain.classes, plain.y, parent, signatures.of(plain.classes))
    # The parent's classes first, as whatever has a parent keeps them; `of` refuses those that are not described.
    described = signatures.of([*known, *(name for name in signatures.classes if name not in set(known))])
    classes, y = encode_labels(items.labels, described.classes)
    described.of(classes)
    return Targets(classes, y, parent, described)


def answers_all(method: Method) -> bool:
    """Whether what a method fits answers every class of the signatures, or those of the rows alone."""
    return Need.SIGNATURES in method.requirements() or method.method in {"auto", "names"}


def _plain(items: Packed, known: tuple[str, ...], parent: Parent | None) -> Targets:
    if items.label_sets is not None:
        classes, marks = encode_label_sets(items.label_sets, known)
        return Targets(classes, marks, parent)
    classes, y = encode_labels(items.labels, known)
    return Targets(classes, y, parent)


def _of_attributes(sets: list[tuple[str, ...]], signatures: Signatures) -> Targets:
    """Rows that are marked with attributes instead of classes."""
    attributes, marks = encode_label_sets(sets, signatures.attributes)
    unknown = attributes[len(signatures.attributes) :]
    if unknown:
        raise RequirementMissing(
            f"The rows have several labels each, which are taken for attributes, and {len(unknown)} of these are none "
            f"of the signatures: {', '.join(repr(name[:60]) for name in unknown[:5])}. Name attributes as the "
            "signatures do, or leave the signatures out."
        )
    return Targets(attributes, np.asarray(marks), None, signatures)


def _parent(order: Order, blobs: Blobs) -> Parent | None:
    if not order.parents:
        return None
    [given] = order.parents
    table = read_tables(blobs.get(given["blob"]))
    return Parent(given["ref"], table.weight, table.bias, table.temperature, tuple(given["classes"]))
