# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Reading an ablation table
#
# A paper claims that each part of its network improves the result. A table file lists such claims
# as data: rows, published numbers and claims. This notebook fills the table file of
# STIR from the committed records and tests each claim.

# %%
from pathlib import Path
from statistics import mean, stdev

import spike_zoo  # isort: skip  # noqa: F401
import matplotlib.pyplot as plt
from IPython.display import Markdown

from spike_zoo.tables import collect_runs, fill_tables, read_table_file, render_markdown

root = Path() if Path("experiments").is_dir() else Path("..")
stir = root / "experiments" / "stir"
file = read_table_file(stir / "table.yaml")
runs = collect_runs([stir / "results", root / "experiments" / "classical" / "results"])
print(file.title, "|", len(file.tables), "tables |", len(runs), "committed runs")

# %% [markdown]
# ## One table
#
# A cell has the measured mean and standard deviation over the seeds, then the published value in
# brackets, if there is one. The best value is bold. `n/a` means that there is no run. Published
# values never replace measured ones.

# %%
tables = {table.title: table for table in fill_tables(file.tables, runs, "cpu")}
print(*tables, sep="\n")
title = next(title for title in tables if "motion" in title.lower())
Markdown(render_markdown([tables[title]]))

# %% [markdown]
# ## Supported, not supported, undecided
#
# Runs of one row also differ, so not every difference between two rows is significant. Over seeds,
# a difference counts if it is larger than t · s · sqrt(1/n₁ + 1/n₂): s is the standard deviation
# over the seeds of a row, pooled over the rows of the file, and t the two-sided 95 % point of
# Student's distribution. A paired test over the photographs of the test set must agree: on fewer
# than six photographs, as here, a claim is undecided.

# %%
for table in tables.values():
    for tested in table.claims:
        print(f"{tested.result:14} {tested.text[:90]}")

# %% [markdown]
# The same by hand for three rows, from the records of each seed:

# %%
by_variant: dict[str, dict[int, float]] = {}
for run in runs:
    record = run.result
    if record.profile == "cpu" and "test/psnr" in record.metrics:
        by_variant.setdefault(record.variant, {})[record.seed or 0] = record.metrics["test/psnr"]
for variant in ("full", "fields_1", "warp_only"):
    values = list(by_variant[variant].values())
    spread = stdev(values) if len(values) > 1 else float("nan")
    seeds = ", ".join(f"{value:.2f}" for value in values)
    print(f"{variant:10} {mean(values):.2f} dB  deviation {spread:.2f}  seeds: {seeds}")

# %% [markdown]
# ## Costs
#
# A gain of 0.1 dB at twice the cost is not the same result as a gain of 0.1 dB at equal cost. The
# same records contain parameters and multiply-accumulates, which do not vary between seeds.

# %%
wanted = {run.result.variant: run.result for run in runs if run.result.profile == "cpu"}
figure, axes = plt.subplots(figsize=(7, 3.6), dpi=80)
for variant, seeds in by_variant.items():
    record = wanted[variant]
    if record.method == "stir" and record.macs:
        x, ys = record.macs / 1e9, list(seeds.values())
        axes.plot([x] * len(ys), ys, ".", color="tab:blue", alpha=0.5)
        if variant in ("full", "warp_only", "fields_5", "width_050", "embedding_resnet"):
            axes.annotate(
                variant, (x, mean(ys)), fontsize=8, xytext=(4, 0), textcoords="offset points"
            )
axes.set(xlabel="GMAC of one image", ylabel="PSNR (dB), one dot a seed")
axes.grid(alpha=0.3)
figure.tight_layout()

# %% [markdown]
# Most rows have about the same PSNR, independent of their cost: with this schedule, a minute or two
# on one core, their differences are as small as those between seeds. Two kinds of rows are much
# lower: warping alone, without synthesis, and learned embeddings without firing rates.
#
# ## Questions for any such table
#
# - How many seeds are there, and how much do they differ? Without this, a difference of 0.1 dB has
#   no meaning.
# - Are the rows on the same data, and was the checkpoint chosen without the test split? Tables here
#   print a warning.
# - Is the schedule the same for all rows? A short schedule favours variants that learn fast.
# - What does each row cost?
#
# ```
# make ablation-table METHOD=stir PROFILE=cpu
# python -m spike_zoo table experiments/stir/table.yaml --profile cpu
# ```
