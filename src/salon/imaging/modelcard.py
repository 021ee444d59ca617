"""MODEL_CARD.md, written from model.json so that the two cannot disagree."""

from __future__ import annotations

from typing import Any

_LIMITS = """\
It draws what it has seen: known emoji concepts, in any of eleven colours. Several
things in one picture (two to four of a kind, two side by side, a hat or glasses on
somebody) are read from the prompt by a small grammar in English, Chinese and Russian
and placed by rule; other relations are not understood. A prompt it has no idea of is
read as the nearest label it knows, in the same colour (`EmbeddedModel.read_as` tells),
and where nothing is near it comes out as a smear; it does not draw scenes. English
works best. Fine detail (eyes, text, clock hands) is softer than in the originals.
Seeds vary details only. Pictures of known labels are close to the originals by design:
do not take them for new artwork.
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
    start = training.get("start")
    begun = f" Prior and U-Net went on from the weights of {start}." if start else ""
    rows = [
        f"| {name} | {facts['parameters']:,} | {facts['steps']:,} | "
        f"{facts['seconds'] / 60:.0f} |"
        for name, facts in training.items()
        if isinstance(facts, dict)
    ]
    return "\n".join(
        [
            f"## Training\n\nOn {training['hardware']}, by `salon train emoji`.{begun}\n",
            "| network | parameters | steps | minutes |\n|---|---|---|---|",
            *rows,
            "\n![loss](loss.png)\n",
        ]
    )


def _metrics(metrics: dict[str, Any]) -> str:
    rows = []
    for key, title in (
        ("seen", f"{metrics['seen_labels']} seen labels"),
        ("seen_half", "half of them, English"),
        ("zh", "the same half in Chinese"),
        ("ru", "the same half in Russian"),
        ("held_out", "held-out labels"),
    ):
        if found := metrics.get(key):
            eyes = (found[eye] for eye in ("pixels", "mobilenet") if eye in found)
            rows.append(f"| {title} | {' | '.join(_pair(eye) for eye in eyes)} |")
    return "\n".join(
        [
            (
                "## Figures\n\nBy `salon evaluate`, fixed prompts and seeds. Label "
                "retrieval, top-1 / top-5 in percent, among "
                f"{metrics['gallery']} real pictures (chance "
                f"{100 / metrics['gallery']:.2f}), by 32 px pixels and by MobileNetV2 "
                "features (ImageNet) of the finished picture.\n"
            ),
            "| prompts | pixels | features |\n|---|---|---|",
            *rows,
            _compositions(metrics["compositions"]),
            _others(metrics),
        ]
    )


def _compositions(found: dict[str, dict[str, float]]) -> str:
    kinds = ("colour", "count", "worn", "pair", "all")
    rows = [
        f"| {language} | {' | '.join(str(shares[kind]) for kind in kinds)} |"
        for language, shares in found.items()
    ]
    return "\n".join(
        [
            "\nA hundred compositions a language, percent obeyed: colour by the dominant "
            "hue, count by connected figures, things worn and pairs by the nearest of "
            "25 and 240 composed candidates (pixels). Those are placed by the functions "
            "that place them in drawing too, and the prompts are of the kinds that the "
            "grammar knows: the last two columns say that it works, not how far it "
            "reaches. They were first judged by MobileNetV2 features, by which the "
            "former model with the same placing scored 30 and 37.5 in English; those "
            "react to softness, and the measure was changed to pixels after that was "
            "seen.\n",
            f"| language | {' | '.join(kinds)} |\n|---|---|---|---|---|---|",
            *rows,
        ]
    )


def _others(metrics: dict[str, Any]) -> str:
    seen, memory = metrics["seen"], metrics["memory"]
    clean, cost = metrics["cleanliness"], metrics["cost"]
    lines = []
    if "kid" in seen:
        lines.append(
            f"KID (MobileNetV2, against real pictures of other labels) {seen['kid']}; "
            f"real pictures of the same labels score {seen['kid_real']}. "
            "The goal of 0.05 is far: the softness of the surfaces is seen at once."
        )
    lines += [
        f"Near-copies of a real picture: {memory['copies']} % (median squared "
        f"difference {memory['median_gap']}).",
        f"Mean squared difference between seeds: {metrics['diversity']}.",
        f"Half-transparent pixels {clean['half_transparent']} %, all corners empty in "
        f"{clean['clean_corners']} % of pictures.",
        f"One thread: {cost['seconds']} s a picture, first preview after "
        f"{cost['first_preview_seconds']} s, peak memory {cost['peak_rss_mb']} MB.",
    ]
    judge = metrics.get("judge") or {}
    if judge and not judge["trusted"]:
        lines.append(
            "The project's own judge knows "
            f"{judge['top1']} / {judge['top5']} % of OpenMoji's pictures, below the 60 "
            "/ 85 at which its verdict would count; it is not quoted."
        )
    return "\n" + "\n".join(f"- {line}" for line in lines) + "\n"


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
