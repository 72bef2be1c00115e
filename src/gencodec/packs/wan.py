"""Packs of real Wan networks: made of a folder in the Hugging Face layout, downloaded or given.

    vae/            config.json and weights of an `AutoencoderKLWan`
    transformer/    the same of a `WanTransformer3DModel` or `WanVACETransformer3DModel`
    text_encoder/   the same of a `UMT5EncoderModel`; read once for a prompt
    tokenizer/      tokenizer.json; for prompts that are not empty

The pack links to the weights where they lie and adds `pack.json` and the prompt's embedding.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gencodec.errors import PackError
from gencodec.packs.defaults import Defaults
from gencodec.packs.manifest import (
    PROMPT,
    TEXT_ENCODER,
    TOKENIZER,
    read_manifest,
    write_manifest,
)
from gencodec.packs.models import AUTOENCODER, REFINER, build_networks
from gencodec.packs.prompt import LENGTH, read_prompt, write_prompt
from gencodec.packs.published import PUBLISHED, VAE
from gencodec.packs.store import PackInfo, user_packs
from gencodec.packs.text_encoder import embed_prompt
from gencodec.packs.weights import read_config, weight_files

_CLASSES = {
    "vae": ("AutoencoderKLWan",),
    "transformer": ("WanTransformer3DModel", "WanVACETransformer3DModel"),
}
_WEIGHTS = "diffusion_pytorch_model.safetensors"
_VERSION = "2.1"
DEFAULTS = Defaults(
    group_frames=33,
    group_frames_max=81,  # what the networks were trained on
    tile_frames=9,
    tile_size=104,
    tile_overlap=8,
    vae_tile=64,
    vae_overlap=8,
)


def fetch_pack(name: str, source: Path | None = None, *, licence: str | None = None) -> PackInfo:
    """Install a pack of published networks, or of those in a folder.

    Args:
        name: of the pack; with a `source`, names that are not published are allowed.
        source: folder in the Hugging Face layout; None downloads the published one.
        licence: of the weights in `source`, where the name is not published.

    Raises:
        PackError: unknown name, no download, or the folder does not hold such networks.
    """
    published = PUBLISHED.get(name)
    if published is None and source is None:
        raise PackError(
            f"no published pack {name!r}; there are {', '.join(PUBLISHED)}; "
            "--from FOLDER makes a pack of other networks"
        )
    folder = download(name) if source is None else source
    components = _components(folder)
    if published is not None:
        _check_sizes(name, components, {AUTOENCODER: VAE, REFINER: published.transformer})
    document = {
        "name": name,
        "version": _VERSION,
        "licence": licence or ("unknown" if published is None else published.licence),
        "use": "any",
        "components": components,
    }
    target = user_packs() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as partial:
        made = Path(partial) / name
        _fill(made, folder, document, known=target)
        shutil.rmtree(target, ignore_errors=True)
        made.replace(target)
    return PackInfo.of(target, read_manifest(target))


def download(name: str) -> Path:
    """Return the folder of a published pack's files, loaded unless they are there already.

    Raises:
        PackError: the download fails.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository = PUBLISHED[name].repository
    wanted = [f"{part}/*" for part in (*_CLASSES, TEXT_ENCODER, TOKENIZER)]
    try:
        return Path(snapshot_download(repository, allow_patterns=wanted))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise PackError(
            f"cannot download {repository}: {reason}; run it again to go on, or get the folder in "
            f"another way and run `gencodec models fetch {name} --from FOLDER`"
        ) from error


def _components(folder: Path) -> dict[str, Any]:
    """Return a manifest's components for the networks in a folder, tried out without weights."""
    components: dict[str, Any] = {
        AUTOENCODER: {"wan": _config(folder, "vae")},
        REFINER: _config(folder, "transformer"),
        "prompt": {"text": "", "length": LENGTH},
        "defaults": {name: v for name, v in asdict(DEFAULTS).items() if v is not None},
    }
    try:
        build_networks(components, (REFINER,), empty=True)
    except (TypeError, ValueError, KeyError) as error:
        raise PackError(f"{folder}: unusable transformer: {error!r}") from error
    return components


def _config(folder: Path, part: str) -> dict[str, Any]:
    """Return the sizes of a part, without what diffusers says of itself."""
    config = read_config(folder / part, "_class_name", _CLASSES[part])
    return {key: value for key, value in config.items() if not key.startswith("_")}


def _check_sizes(
    name: str, components: Mapping[str, Any], sizes: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuse networks of other sizes than those published under a name."""
    found = {AUTOENCODER: components[AUTOENCODER]["wan"], REFINER: components[REFINER]}
    for part, wanted in sizes.items():
        for key, value in wanted.items():
            if found[part].get(key) != value:
                raise PackError(
                    f"the {part} has {key} = {found[part].get(key)}, that of {name} has {value}; "
                    "give another pack name or another folder"
                )


def _fill(made: Path, source: Path, document: dict[str, Any], known: Path) -> None:
    """Make a pack's folder: links to the weights, the prompt's embedding, the manifest."""
    for part in _CLASSES:
        (made / part).mkdir(parents=True)
        for file in weight_files(source / part, _WEIGHTS):
            (made / part / file.name).symlink_to(file.resolve())
    for part in (TEXT_ENCODER, TOKENIZER):
        if (source / part).is_dir():
            (made / part).symlink_to((source / part).resolve(), target_is_directory=True)
    manifest = write_manifest(made, document)
    try:
        vectors = read_prompt(known, manifest)
    except PackError as error:
        if not (source / TEXT_ENCODER).is_dir():
            raise PackError(
                f"{source} holds no {TEXT_ENCODER}, and there is no usable {known / PROMPT}: the "
                "empty prompt cannot be embedded; fetch the pack whole"
            ) from error
        vectors = embed_prompt(source)
    write_prompt(made, vectors)
    read_prompt(made, manifest)  # it fits the transformer
