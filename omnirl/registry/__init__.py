"""The registry: versions and titles of models as Git tags, their bytes in DVC. No server.

A version is a commit on no branch with the annotated tag `NAME@vX.Y.Z`; a title event is an annotated
tag `NAME#champion#N`. GTO, `dvc artifacts get` and DVC Studio read the same tags. This package is the
only one that runs the programs `git` and `dvc`.
"""
