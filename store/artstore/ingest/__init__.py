"""From the user's folder to nodes of the store.

``reading``   worker threads: files to content ids and stored forms
``feeding``   the thread that walks and reads ahead
``pipeline``  the order of it all: stage in tree order what comes from both
``overlay``   laying a folder over a version that is there
"""
