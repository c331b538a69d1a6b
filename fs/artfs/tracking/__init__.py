"""Runs and artifacts as people know them from Weights & Biases, upon a workspace of this machine.

    values            what users pass becomes JSON; the environment's words
    naming            which artifact a name means for a run of a project
    aliases           lists that are changed in place and saved
    described         what an artifact is called, and what is said of it
    artifact          `Artifact`: one that is being put together, or a version
    together          one version that several runs make
    downloading       where the content of a version is for a program: a mount, the cache, a copy
    run               `Run`: what a process uses and makes
    current           the run of this process: `artfs.init`, `artfs.log`, `artfs.finish`
    api               `Api`: looking at artifacts and runs from outside

Everything is kept in the workspace; nothing talks to a network.
"""
