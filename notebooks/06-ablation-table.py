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
# A paper claims that each part of its network helps. A table file says so as data: rows,
# published numbers, and what is expected. This notebook fills STIR's from the records that are
# committed here, and asks of each claim whether the runs can tell.

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
# Ours first, mean and deviation over the seeds, the published value in brackets where there is
# one, the best in bold. `n/a`: nothing ran. Nothing is ever copied from a paper into our column.

# %%
tables = {table.title: table for table in fill_tables(file.tables, runs, "cpu")}
print(*tables, sep="\n")
title = next(title for title in tables if "motion" in title.lower())
Markdown(render_markdown([tables[title]]))

# %% [markdown]
# ## Held, not held, within noise
#
# Two rows differ, but runs of one row differ too. A difference counts where it is larger than t ·
# s · sqrt(1/n₁ + 1/n₂): s is the deviation of seeds within a row, pooled over the rows of the file,
# and t the two-sided 95 % point of Student's distribution. Below it, these runs cannot tell, which
# is no evidence against the claim.

# %%
for table in tables.values():
    for verdict in table.verdicts:
        print(f"{verdict.judgement.value:14} {verdict.text[:90]}")

# %% [markdown]
# By hand, for two rows: the seeds are the runs' own records.

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
# ## What it costs
#
# A row that is 0.1 dB better and twice as expensive is another finding than one that is 0.1 dB
# better for nothing. Parameters and multiply-accumulates are in the same records, and have no
# noise.

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
# Most rows lie on one line, whatever they cost: at this schedule, a minute or two on one core,
# what distinguishes them is as small as the seeds. What is far below is real even here: warping
# alone, without synthesis, and embeddings that are learned alone.
#
# ## What to ask of any such table
#
# - How many seeds, and how far apart are they? Without, a tenth of a decibel means nothing.
# - Are the rows on the same data, and was the checkpoint chosen without the test split? A table
#   here warns.
# - Is the schedule the same for all rows? A variant that learns slowly loses a short race.
# - What does the row cost?
#
# ```
# make ablation-table METHOD=stir PROFILE=cpu
# python -m spike_zoo table experiments/stir/table.yaml --profile cpu
# ```
