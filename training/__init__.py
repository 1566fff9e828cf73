"""Making the checkpoint that ships, and measuring what it does; only the steps from data set to weights need torch.

    sources    motion files -> motions
    prepare    folders of them -> one checked data set, which `store` reads
    dataset, augment, presets, losses, train   data set -> weights: python -m training train
    export     weights -> the file that ships: python -m training export
    metrics    every figure that the project reports, defined once
    evaluate   weights -> a report of those figures: python -m training evaluate
               (held_out, lengths, rates: reconstruction beside baselines; varied, realism: variations; goals;
               report, tables, figures, sheets: what is written and drawn)
    scaling    runs -> loss and error against compute: python -m training scaling

Importing this package imports nothing; torch is loaded by the steps that need it.
"""
