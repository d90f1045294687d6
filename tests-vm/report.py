# SPDX-License-Identifier: GPL-2.0
"""`make report`: what all campaigns have done so far, as a table and as a plot in build/campaigns/report.svg."""

import matplotlib.pyplot as plt

from campaign import CAMPAIGNS
from harness import paths, results

PLOT = paths.BUILD / "campaigns/report.svg"
plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "dm-remap"})


def table():
    """A line for each campaign, and for each thing that it went through."""
    for which, (_, names, unit) in CAMPAIGNS.items():
        runs = results.runs(which)
        revisions = dict.fromkeys(run["revision"] for run in runs)
        total = results.totals(runs)
        yield f"{total[unit]:>13,} {unit} in {len(runs)} runs of {which}; versions: {' '.join(revisions) or 'none'}"
        for name in dict.fromkeys(names):
            done = results.totals(run for run in runs if run["name"] == name)
            yield f"{done[unit]:>21,} {name}"
        for what, count in sorted(total.items()):
            if what != unit:
                yield f"{count:>21,} {what.replace('_', ' ')}"


def plot():
    """Of each campaign how much of each name."""
    bars = [len(set(names)) for _, names, _ in CAMPAIGNS.values()]
    figure, axes = plt.subplots(len(CAMPAIGNS), figsize=(9, 3 + 0.25 * sum(bars)), layout="constrained",
                                height_ratios=[count + 1 for count in bars])
    for axis, (which, (_, names, unit)) in zip(axes, CAMPAIGNS.items()):
        runs, names = results.runs(which), list(dict.fromkeys(names))
        counts = [results.totals(run for run in runs if run["name"] == name)[unit] for name in names]
        drawn = axis.barh(names, counts, color="#4a7ebb")
        axis.bar_label(drawn, [f"{count:,}" for count in counts], padding=3)
        axis.set_title(f"{which}: {sum(counts):,} {unit}, none of which broke a promise", loc="left")
        axis.margins(x=0.15)
        axis.invert_yaxis()
        axis.xaxis.set_visible(False)
        axis.spines[["top", "right", "bottom"]].set_visible(False)
    figure.savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    print(*table(), sep="\n")
    plot()
    print(f"as a plot: {PLOT.relative_to(paths.SOURCE)}")
