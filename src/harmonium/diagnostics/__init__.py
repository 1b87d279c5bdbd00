"""Do the chains mix? Effective sample size, R̂, autocorrelation times, and what tempering does."""

from harmonium.diagnostics.chains import chain_diagnostics, inference_data
from harmonium.diagnostics.installation import show_versions
from harmonium.diagnostics.mixing import MixingReport, autocorrelation_time, mixing_report
from harmonium.diagnostics.replicas import TemperingReport, tempering_report
from harmonium.diagnostics.watch import MixingWatch

__all__ = [
    "MixingReport",
    "MixingWatch",
    "TemperingReport",
    "autocorrelation_time",
    "chain_diagnostics",
    "inference_data",
    "mixing_report",
    "show_versions",
    "tempering_report",
]
