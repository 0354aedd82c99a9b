"""Converts files of users to the `.npz` that is stored: tables, folders of images, other arrays.

The one place of conversion: the service uses it for uploads from the command line and the browser.
It imports numpy, Pillow for images and pyarrow for Parquet, when it is called; never torch, except
`torchvision_sets`. Errors are InvalidSpec, with file and line, before anything is stored.
"""
