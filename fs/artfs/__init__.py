"""artfs: every version of every artifact is a directory.

    import artfs
    ws = artfs.open_workspace()
    v = ws.put("data/", "imagenet", type="dataset", aliases=["clean"])
    with v.open("train/cat/0001.jpg") as f: ...

Importing it loads neither the FUSE binding nor the event loop, so it may stand at the top of any training script.
"""

from artfs.api import Workspace, init_workspace, open_workspace
from artstore import errors
from artstore.errors import ArtfsError
from artstore.versions import FileInfo, PutReceipt, Version
from artstore.workspace import Artifact

__all__ = [
    "ArtfsError",
    "Artifact",
    "FileInfo",
    "PutReceipt",
    "Version",
    "Workspace",
    "__version__",
    "errors",
    "init_workspace",
    "open_workspace",
]

__version__ = "0.1.0"
