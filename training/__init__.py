"""Making the checkpoint that ships, and measuring what it does; only the steps from data set to weights need torch.

    sources    motion files -> motions
    prepare    folders of them -> one checked data set, which `store` reads
    dataset, augment, presets, losses, train   data set -> weights: python -m training train
    export     weights -> the file that ships: python -m training export
    metrics    every figure that the project reports, defined once
    evaluate   weights -> a report of those figures: python -m training evaluate
               (held_out: reconstruction, beside the baselines; varied: variations; tables: Markdown)

Importing this package imports nothing; torch is loaded by the steps that need it.
"""
