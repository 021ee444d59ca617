"""MODEL_CARD.md, written from model.json so that the two cannot disagree."""

from __future__ import annotations

from typing import Any

_LIMITS = """\
It draws what it has seen: known emoji concepts, in any of eleven colours, some with a
hat or glasses, in ones, twos and threes. A prompt it has no idea of is read as the
nearest label it knows, in the same colour (`EmbeddedModel.read_as` tells), and where
nothing is near it comes out as a smear; it does not draw scenes. Two different things
in one picture are mostly blobs. English works best. Fine detail (eyes, text, clock
hands) is softer than in the originals and edges show steps at 128 px. Seeds vary
details only. Pictures of known labels are close to the originals by design: do not
take them for new artwork.
"""


def render(card: dict[str, Any]) -> str:
    """The card as Markdown; sections whose facts are missing are left out."""
    size = sum(file["bytes"] for file in card["files"].values()) / 1e6
    parts = [
        (
            f"# {card['name']} {card['version']}\n\n{card['about']}. {size:.1f} MB in all, "
            "half precision on disk, single precision at work.\n\n![samples](sheet.png)\n"
        ),
        _training(card["training"]),
        f"## Limits\n\n{_LIMITS}",
        _data(card),
    ]
    if "metrics" in card:
        parts.insert(2, _metrics(card["metrics"]))
    return "\n".join(parts)


def _training(training: dict[str, Any]) -> str:
    rows = [
        f"| {name} | {facts['parameters']:,} | {facts['steps']:,} | "
        f"{facts['seconds'] / 60:.0f} |"
        for name, facts in training.items()
        if isinstance(facts, dict)
    ]
    return "\n".join(
        [
            f"## Training\n\nOn {training['hardware']}, by `salon train emoji`.\n",
            "| network | parameters | steps | minutes |\n|---|---|---|---|",
            *rows,
            "\n![loss](loss.png)\n",
        ]
    )


def _metrics(metrics: dict[str, Any]) -> str:
    rows = []
    for key, title in (
        ("seen", f"{metrics['seen_labels']} seen labels"),
        ("prior_only", "the same, prior alone"),
        ("seen_half", "half of them, English"),
        ("zh", "the same half in Chinese"),
        ("ru", "the same half in Russian"),
        ("held_out", "held-out labels"),
    ):
        found = metrics[key]
        cells = [_pair(found["pixels"])]
        cells.append(_pair(found["features"]) if "features" in found else "–")
        cells.append(str(found.get("kid", "–")))
        rows.append(f"| {title} | {' | '.join(cells)} |")
    pairs = metrics["colour_pairs"]
    return "\n".join(
        [
            (
                "## Figures\n\nLabel retrieval, top-1 / top-5 in percent, among "
                f"{metrics['gallery']} real pictures (chance "
                f"{100 / metrics['gallery']:.2f}); by 32 px pixels and by MobileNetV2 "
                "features (ImageNet) of the 32 px picture; KID with the same features.\n"
            ),
            "| prompts | pixels | features | KID |\n|---|---|---|---|",
            *rows,
            (
                f"\n{pairs['count']} colour x object pairs never trained together: colour "
                f"right {pairs['colour_right']} %, silhouette {_pair(pairs['silhouette'])}. "
                f"Mean squared error of seen labels {metrics['seen']['mse']} (0 to 1). "
                f"{metrics['seconds_a_picture']} s a picture on a machine busy with other work.\n"
            ),
        ]
    )


def _pair(found: dict[str, float]) -> str:
    return f"{found['top1']} / {found['top5']}"


def _data(card: dict[str, Any]) -> str:
    rows = [
        f"- `{d['package']}`: {d['what']}; {d['owner']}; {d['licence']}"
        for d in card["data"]
    ]
    text = card["text_encoder"]
    rows.append(f"- `{text['package']}`: {text['what']}; {text['licence']}")
    return "\n".join(
        [
            "## Data and licences\n",
            *rows,
            (
                f"\nThe weights: {card['licence']}. No photographs, nothing scraped, no "
                "share-alike art.\n"
            ),
        ]
    )
