"""`apollo-model stream`."""

import enum
import os
from typing import Annotated

import typer

from apollo_data.cli.options import Quiet
from apollo_data.console import Console
from apollo_data.errors import DataError
from apollo_model.checkpoint.prepared_network import load_prepared
from apollo_model.cli.options import Device, Dtype, DtypeName
from apollo_model.restore.pipe import restore_pipe

_STDIN, _STDOUT = 0, 1


class PcmFormat(str, enum.Enum):
    """Sample formats of the pipes, by ffmpeg's names."""

    F32LE = "f32le"
    S16LE = "s16le"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command()
    def stream(
        checkpoint: Annotated[str, typer.Option(help="Checkpoint of a causal network.")],
        channels: Annotated[
            int, typer.Option("--channels", "-c", min=1, max=64, help="Channels of the sound.")
        ] = 2,
        rate: Annotated[
            int | None,
            typer.Option(
                help="Sample rate of the input, only to check it.", show_default="the network's"
            ),
        ] = None,
        pcm_format: Annotated[
            PcmFormat, typer.Option("--format", help="Sample format of input and output.")
        ] = PcmFormat.F32LE,
        dtype: Dtype = DtypeName.AUTO,
        device: Device = "auto",
        quiet: Quiet = False,
    ) -> None:
        """Restore raw PCM from standard input to standard output, one window (20 ms) later.

        Example: `apollo-model stream --checkpoint causal.safetensors < in.f32 > out.f32`
        """
        console = Console(quiet)
        if os.isatty(_STDIN) or os.isatty(_STDOUT):
            raise DataError("stream reads and writes raw PCM; connect it to pipes or files")
        network, _ = load_prepared(checkpoint, device, dtype.value)
        if rate not in (None, network.sample_rate):
            raise DataError(
                f"--rate {rate}: this network works at {network.sample_rate} Hz; let ffmpeg"
                f" convert (-ar {network.sample_rate})"
            )
        restore_pipe(network, _STDIN, _STDOUT, channels, pcm_format.value, console)
