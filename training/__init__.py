"""Making the checkpoint that ships, and measuring what it does; only the steps from data set to weights need torch.

    prepare    folders of motion files -> one checked, sharded data set: python -m training prepare
               (sources, body_files, blender_files: files -> motions; checks, licences; shards, shard_pool: what is
               written, by several processes; inventory: its report; store reads it)
    train      data set -> weights: python -m training train, or torchrun -m training train
               (dataset, augment: batches; objective, losses, linear_start, presets; processes: DDP and FSDP2;
               run_folder: checkpoints and logs; board: TensorBoard)
    export     weights -> the file that ships: python -m training export
    metrics    every figure that the project reports, defined once
    evaluate   weights -> a report of those figures: python -m training evaluate
               (held_out, lengths, rates: reconstruction beside baselines; varied, realism: variations; goals;
               report, tables, figures, sheets: what is written and drawn)
    adapt_check   what learning a character brings: python -m training adapt-check
    scaling    runs -> loss and error against compute: python -m training scaling

Importing this package imports nothing; torch is loaded by the steps that need it.
"""
