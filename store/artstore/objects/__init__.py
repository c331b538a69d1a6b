"""Object stores: one protocol over S3, Google Cloud Storage, Azure and a folder of another disk.

References and remotes use it alike.  It knows neither records nor workspaces.
"""
