"""``salon train text2image``: a latent diffusion of your own, from captioned pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from salon.cli import training
from salon.errors import StartupError

if TYPE_CHECKING:
    from salon.imaging.data.captioned import Captioned
    from salon.imaging.latent.cache import Latents
    from salon.imaging.latent.texts import Texts
    from salon.imaging.training.text_to_image import Recipe

_PREDICTION = {"v_prediction": "v"}
"""What diffusers calls it, beside our own words."""


def text2image(
    folder: Annotated[Path, typer.Argument(help="pictures with a metadata.jsonl")],
    out: training.Out,
    vae: Annotated[
        Path | None, typer.Option(help="the autoencoder [on resume that of --out]")
    ] = None,
    text_encoder: Annotated[
        Path | None,
        typer.Option(help="folder of CLIP [Salon's own sentence encoder]"),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="side in pixels [the autoencoder's]")
    ] = None,
    steps: training.Steps = 10_000,
    resume: training.Resume = False,
    batch: Annotated[int | None, typer.Option(help="pictures a step [32]")] = None,
    lr: Annotated[float | None, typer.Option(help="learning rate [1e-4]")] = None,
    size: Annotated[
        str | None, typer.Option(help="tiny, small, default, sd [small]")
    ] = None,
    captions: Annotated[
        str | None,
        typer.Option(help="text, or captions: all of them in all languages [text]"),
    ] = None,
    drop: Annotated[
        float | None, typer.Option(help="share of captions left empty [0.1]")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(help="linear, scaled_linear, cosine [scaled_linear]")
    ] = None,
    chain: training.Chain = None,
    prediction: Annotated[
        str | None, typer.Option(help="epsilon, v_prediction or sample [v_prediction]")
    ] = None,
    zero_snr: Annotated[
        bool | None,
        typer.Option(
            "--zero-terminal-snr/--no-zero-terminal-snr",
            help="end at no signal at all; not with epsilon [where that is possible]",
        ),
    ] = None,
    warmup: training.Warmup = None,
    ema: training.Ema = None,
    precision: training.Precision = None,
    seed: training.Seed = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="for the sheets; may be given often")
    ] = None,
    sample_every: training.SampleEvery = 1000,
    save_every: training.SaveEvery = 120.0,
    cache: Annotated[
        Path | None, typer.Option(help="for pictures and latents [--out]")
    ] = None,
    device: training.Device = "auto",
    threads: training.Threads = 2,
) -> None:
    """Train a text-to-image model on captioned pictures; ^C stops, --resume goes on."""
    wishes = training.given(
        batch=batch,
        learning_rate=lr,
        captions=captions,
        drop=drop,
        warmup=warmup,
        ema=ema,
        precision=precision,
        seed=seed,
    )
    process = training.given(
        schedule=schedule,
        steps=chain,
        prediction=_PREDICTION.get(prediction or "", prediction),
        zero_snr=zero_snr,
    )
    console = Console()
    with training.in_words():
        from salon.imaging.models import device as devices
        from salon.imaging.training.resumable import Plan
        from salon.imaging.training.text_to_image import Frozen, Trainer

        where = devices.choose(device, threads)
        stored = _stored(out, resume)
        autoencoder = _autoencoder(vae, out, resume)
        captioned = _captions(folder, captions, stored, console)
        texts = _texts(text_encoder, captioned, out, where, resume, console)
        recipe = _recipe(stored, autoencoder, texts, wishes, process, size, image_size)
        data = _latents(
            folder, captioned, autoencoder, recipe, cache or out, where, console
        )
        frozen = Frozen(autoencoder, texts)
        trainer = Trainer(recipe, data, frozen, out, where, prompt or ())
        if resume:
            trainer.resume()
        plan = Plan(steps, save_every, sample_every)
        then = f'salon sample {out} --prompt "{trainer.prompts[0]}" -o sheet.png'
        training.run(trainer, plan, console, then)


def _stored(out: Path, resume: bool) -> "Recipe | None":
    from salon.imaging.training.text_to_image import CHECKPOINT, Recipe

    return training.stored_recipe(out, CHECKPOINT, Recipe, resume)


def _autoencoder(wish: Path | None, out: Path, resume: bool) -> Path:
    """The folder that was named, or the copy that the training keeps."""
    from salon.imaging.models import autoencoder_folder

    if wish is None and not resume:
        raise ValueError(
            "vae: name the folder of an autoencoder with --vae; `salon train vae` "
            "makes one"
        )
    return autoencoder_folder.find(out / "model" if wish is None else wish)


def _captions(
    folder: Path, wish: str | None, stored: "Recipe | None", console: Console
) -> "Captioned":
    from salon.imaging.data import captioned

    column = wish or (stored.captions if stored else "text")
    found = captioned.read(folder, column)
    if found.unmentioned:
        console.print(
            f"{found.unmentioned} pictures have no line in {captioned.METADATA} and "
            "are left out"
        )
    return found


def _texts(
    wish: Path | None,
    captioned: "Captioned",
    out: Path,
    device: str,
    resume: bool,
    console: Console,
) -> "Texts":
    """CLIP where it was named or is kept; else the sentence encoder, fitted once."""
    from salon.imaging.latent import texts as encoders

    said = [text for captions in captioned.captions for text in captions]
    found: encoders.Texts
    if wish is not None:
        found = encoders.ClipTexts.load(wish, device)
    elif resume:
        found = encoders.load(out / "model", device)
    else:
        with training.counting("reading captions", console) as note:
            found = encoders.SentenceTexts.fit(said, device, note)
    if isinstance(found, encoders.SentenceTexts):
        with training.counting("reading captions", console) as note:
            found.learn(said, note)
    if cut := sum(found.cut(text) > 0 for text in said):
        console.print(f"{cut} of {len(said)} captions are read only in part: too long")
    return found


def _recipe(
    stored: "Recipe | None",
    autoencoder: Path,
    texts: "Texts",
    wishes: dict[str, Any],
    process: dict[str, Any],
    size: str | None,
    image_size: int | None,
) -> "Recipe":
    """The recipe that was stored, or a new one; what was typed is laid over it."""
    from dataclasses import replace

    from salon.imaging.models import autoencoder_folder
    from salon.imaging.models.ddpm_folder import Process
    from salon.imaging.training import text_to_image as work

    config = autoencoder_folder.load(autoencoder).config
    wishes = wishes | {
        "autoencoder": autoencoder_folder.digest(autoencoder),
        "texts": texts.digest,
    }
    if stored is not None:
        if size is not None or image_size is not None:
            raise StartupError(
                "size and image size are those that the training was begun with; leave "
                "them out, or choose another folder with --out"
            )
        return replace(stored, **wishes, process=replace(stored.process, **process))
    side = image_size or config.image_size
    if side % config.factor:
        raise ValueError(
            f"image size {side} must be a multiple of {config.factor}, the factor by "
            "which this autoencoder shrinks pictures"
        )
    shape = work.shape(
        size or "small", side // config.factor, config.latents, texts.width
    )
    known = {"schedule": "scaled_linear", "prediction": "v"} | process
    known.setdefault("zero_snr", known["prediction"] != "epsilon")
    return work.Recipe(shape=shape, image_size=side, process=Process(**known), **wishes)


def _latents(
    folder: Path,
    captioned: "Captioned",
    autoencoder: Path,
    recipe: "Recipe",
    cache: Path,
    device: str,
    console: Console,
) -> "Latents":
    from salon.imaging.latent import cache as latents
    from salon.imaging.models import autoencoder_folder

    network = autoencoder_folder.load(autoencoder, device)
    side = recipe.image_size
    with training.counting("pictures to latents", console) as note:
        data = latents.load(
            folder, captioned, network, recipe.autoencoder, side, cache, note, note
        )
    what = f"pictures with captions, {side} x {side}"
    training.say_pictures(data, what, console)
    return data
