"""The paper's headline results as studies: ladders of sizes, slopes with intervals, verdicts and figures (T1-T6)."""
