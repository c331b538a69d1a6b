"""From the user's folder to nodes of the store.

``reading``   worker threads: files to content ids and stored forms
``feeding``   the thread that walks and reads ahead
``pipeline``  the main loop: stage the results of both in tree order
``overlay``   laying a folder over an existing version
"""
