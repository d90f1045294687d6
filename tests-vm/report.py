# SPDX-License-Identifier: GPL-2.0
"""`make report`: what all campaigns have done so far, as a table and as a plot in build/campaigns/report.svg."""

import matplotlib.pyplot as plt

from campaign import CAMPAIGNS
from harness import paths, results

PLOT = paths.BUILD / "campaigns/report.svg"
plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "dm-remap"})


def total(which):
    return results.totals(results.runs(which))[CAMPAIGNS[which].unit]


def parts(which):
    """How much of each name; of what has one name alone, how much of each kind of thing that was done."""
    names, unit = CAMPAIGNS[which].names, CAMPAIGNS[which].unit
    runs = results.runs(which)
    if len(names) > 1:
        return {name: results.totals(run for run in runs if run["name"] == name)[unit] for name in names}
    return dict(results.totals({"found": kinds} for run in runs for kinds in run["found"].values()
                               if isinstance(kinds, dict)))


def table():
    for which, campaign in CAMPAIGNS.items():
        unit, runs = campaign.unit, results.runs(which)
        revisions = sorted({run["revision"] for run in runs})
        yield f"{total(which):>13,} {unit} in {len(runs)} runs of {which}; versions: {' '.join(revisions) or 'none'}"
        for run in runs:
            if "failed" in run:
                yield f"{'failed':>21}: {run['name']}, seed {run['seed']}, version {run['revision']}: {run['failed']}"
        counts = {**parts(which), **results.totals(runs)}
        for what, count in counts.items():
            if what != unit:
                yield f"{count:>21,} {what.replace('_', ' ')}"


def plot():
    drawn = {which: parts(which) or {"none": 0} for which in CAMPAIGNS}
    figure, axes = plt.subplots(len(drawn), figsize=(9, 3 + 0.25 * sum(map(len, drawn.values()))), layout="constrained",
                                height_ratios=[len(counts) + 1 for counts in drawn.values()])
    for axis, (which, counts) in zip(axes, drawn.items()):
        bars = axis.barh(list(counts), list(counts.values()), color="#4a7ebb")
        axis.bar_label(bars, [f"{count:,}" for count in counts.values()], padding=3)
        axis.set_title(f"{which}: {total(which):,} {CAMPAIGNS[which].unit}", loc="left")
        axis.margins(x=0.15)
        axis.invert_yaxis()
        axis.xaxis.set_visible(False)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
    figure.suptitle("What did not break a promise")
    figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    print(*table(), sep="\n")
    plot()
    print(f"as a plot: {PLOT.relative_to(paths.SOURCE)}")
