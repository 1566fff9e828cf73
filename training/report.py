"""The parts of a report as one Markdown page, each with what its figures mean."""

from . import tables


def head(result) -> str:
    """What was measured."""
    look = "Means over few clips: a quick look." if result["quick"] else "Means over clips."
    text = f"""# Held-out figures of the weights {result["version"]}

{look} Errors of a body of 1.7 m, aligned at the root; *not aligned* with the path that the decoder itself
makes from the clip's first frame. *Seam*: jerk near the borders of chunks over elsewhere, over the same of the source.
*Area under jerk* as FlowMDM has it, around the borders of chunks, all clips of a row together."""
    for part, error in result["failed"].items():
        text += f"\n\n**{part} could not be measured:** {error}"
    return text


def reconstruction(result) -> str:
    """Sets, and every figure beside the source's and the baselines'."""
    rows = result["reconstruction"]
    return f"""## Reconstruction

{tables.reconstruction_table(rows)}

Beside the model, which keeps {result["model_rate"]:g} numbers a frame (and its clip's latent): the *linear code*
(principal components of chunks, as many numbers) is fitted on that skeleton's training clips, for unseen rigs on the
clip's other half; the *clip's own code* (principal components of frames, as many numbers) on the very clip that it is
tried on, its components not counted; *slerp* has a key of every joint once a chunk.

{tables.method_table(rows)}

*Source*: the clip against itself, and its own skate and area under jerk. Jerk over the source's. The clip's own code
and the reconstruction that is shown are given the source's path; the model's *not aligned* is with its own."""


def lengths(result) -> str:
    """By length of the clip."""
    return f"""## By length

{tables.length_table(result["lengths"])}

Only clips that are long enough, cut to that length in their middle; none is joined or looped. Long clips are other
clips than short ones: the column beside has the same clips cut to 64 frames."""


def rates(result) -> str:
    """The rate curve."""
    return f"""## Error against numbers a frame

{tables.rate_table(result["rates"])}

A model has one rate, {result["model_rate"]:g} numbers a frame; below it the same weights decode the most used
directions of their latents alone, above it there is nothing (-). The linear code of the training set exists for trained
skeletons. The clip's own code at 1.3 and 2.6 is interpolated between whole numbers. Slerp: three numbers a joint and
key, keys as far apart as the numbers allow. In the figure, published errors of other models on their own data and
skeleton stand for orientation: they can't be compared."""


def variation(result) -> str:
    """Variations by level and strength, levels, seeds."""
    found = result["variation"]
    return f"""## Variations

{tables.setting_table(found["rows"], tables.VARIATION_COLUMNS)}

Jerk and peak jerk over the source's; skate and contacts of clips that have contacts. *Outside ranges*: joints in frames
that are turned more than 5 degrees beyond what other clips of the same rig show, where there are any.

{tables.setting_table(found["samples"], tables.SAMPLE_COLUMNS)}

*Coverage*: the source's windows of 30 frames that the variation has within 2.0 (rotation-6D) or 20 degrees. *Local*,
*global*: distance of its windows of 15 frames, and of its segments of 30 frames or more, from the nearest of the source
(GANimator; in degrees, AnyTop). *Inter*: distance of two seeds, frame by frame. The source itself has 100 %, 100 %, and
0 everywhere else; its *spread* is the distance of two of its frames drawn at random.

{tables.level_table(found["levels"])}

*Varies over the clip*: the part of the change that isn't the same in every frame. *Speed*: degrees a second over
degrees.

Three seeds at strength 1 differ by:

{tables.diversity_table(found["diversity"])}"""


def realism(result) -> str:
    """The two-sample test."""
    if not result["realism"]:
        return "## Told from real clips\n\nNo set holds out enough clips of the same joints."
    return f"""## Told from real clips

{tables.realism_table(result["realism"])}

How often a small classifier tells windows of 30 frames of variations (phrases, strength 1) from windows of the real
clips, on clips that it didn't learn from: 50 % is perfect, ± the standard error over clips. Beside it, real windows
called one or the other by lot, and the same changes with every joint's phases drawn anew, in which nothing belongs
together. The classifier sees how joints are turned, how high they are, how much and how fast that changes; *mean poses
alone*: the first two."""


def prior(result) -> str:
    """Clips drawn from the prior beside data."""
    if not result["prior"]:
        return (
            "## Drawn from the prior\n\nNo set holds out enough clips of the same joints, or the weights have no prior."
        )
    return f"""## Drawn from the prior

{tables.prior_table(result["prior"])}

*Drawn*: as many clips, as long, on the same skeletons, from nothing but the prior; another clip of the rig lends the
pose about which joints turn. *Decoded*: what the decoder makes of the real clips' codes. Both go on the decoder's own
path, evened out so that what bears the body is still. Contacts are each clip's own. *Coverage*: windows of 30 frames of
a real clip that the others have within 20 degrees: the other real clips, or what was decoded or drawn for those.
*Nearest*: distance to the nearest of all training clips of the rig, windows of half a second, rotation-6D, the root's
turn left out; a copied training clip that went through the decoder has *copied*."""


def sheets(result) -> str:
    """The pictures."""
    pictures = "\n\n".join(f"![{each['title']}]({each['file']})" for each in result["sheets"])
    return f"## Source, reconstruction, variations\n\n{pictures}"


def pictures(result) -> str:
    """The pictures of kinds of motion."""
    shown = "\n\n".join(f"![{each['title']}]({each['file']})" for each in result["pictures"])
    return f"## Source, reconstruction, variations, clips drawn from the prior\n\n{shown}"


PARTS = {
    "reconstruction": reconstruction,
    "lengths": lengths,
    "rates": rates,
    "variation": variation,
    "realism": realism,
    "prior": prior,
    "sheets": sheets,
    "pictures": pictures,
}
ON_REQUEST = ("pictures",)  # parts that are made only where they are asked for

FIGURES = {
    "reconstruction": ("sets.png", "Joint error by set, beside the baselines"),
    "rates": ("rates.png", "Joint error against numbers kept a frame"),
    "prior": ("prior.png", "Clips drawn from the prior over held-out real clips"),
}


def markdown(result) -> str:
    """The whole page, of the parts that were measured."""
    parts = [head(result)]
    for part, write in PARTS.items():
        if part in result:
            parts.append(write(result))
        if part in FIGURES and FIGURES[part][0] in result["figures"]:
            file, title = FIGURES[part]
            parts.append(f"![{title}]({file})")
    if result["goals"]:
        parts.append(f"## Goals\n\n{tables.goal_table(result['goals'])}")
    return "\n\n".join(parts) + "\n"
