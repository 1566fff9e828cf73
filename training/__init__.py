"""Making the checkpoint that ships, and measuring what it does; needs torch, but for `sources` and `metrics`.

    sources    motion files -> motions
    prepare    folders of them -> one checked data set
    dataset, augment, presets, losses, train   data set -> weights: python -m training train
    metrics    every figure that the project reports, defined once
    evaluate   weights -> tables of those figures: python -m training evaluate
    export     weights -> the file that ships: python -m training export

Importing this package imports nothing; torch is loaded by the steps that need it.
"""
