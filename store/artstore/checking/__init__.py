"""Checking a workspace (`fsck`): that all is there, and as it was put.

``files``       what lies in the workspace's folder
``pages``       LMDB's own pages, audited in a child process before this one maps them
``structure``   counts, index, extents, deadlist, names, journal and counters against each other
``content``     every stored form read and verified

``recounting`` adds up what there is, ``tracing`` leads from damage to files and versions.
"""

from __future__ import annotations

import os
from pathlib import Path

from artstore import manifest
from artstore.checking.files import check_files
from artstore.checking.report import OnProgress, Problem, Progress, Report
from artstore.checking.structure import check_structure

__all__ = ["OnProgress", "Problem", "Progress", "Report", "check"]
