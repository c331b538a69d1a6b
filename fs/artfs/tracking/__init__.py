"""Runs and artifacts with the API of Weights & Biases, kept in a workspace of this machine.

    conversion        what users pass becomes JSON
    values            the environment variables
    naming            which artifact a name means for a run of a project
    aliases           lists that are changed in place and saved
    description       what a program says of an artifact: metadata, aliases, tags, time to live
    assembly          the content that it puts together
    entries           the files of an artifact
    downloading       the folder with a version's content: on a mount, in the cache, or a copy
    verifying         comparing a folder with a version
    artifact          `Artifact`: what is put together, or a version
    run_values        `Run.config` and `Run.summary`
    distributed       one version that several runs make
    run               `Run`: what a process uses and makes
    active_run        the run of this process: `artfs.init`, `artfs.log`, `artfs.finish`
    api               `Api`: reading artifacts and runs from outside
    disabled          the workspace in the mode disabled, which records nothing
    unrecorded        the versions and files of that mode
    workspaces        the workspace that they are kept in

Everything is kept in the workspace; nothing uses a network.  The store is reached through `Workspace`.
"""
