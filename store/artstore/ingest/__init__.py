"""From the user's folder to nodes of the store.

``reading``   worker threads: files to content ids and stored forms
``pipeline``  the order of it all: walk, read ahead, stage in tree order
``overlay``   laying a folder over a version that is there
"""
