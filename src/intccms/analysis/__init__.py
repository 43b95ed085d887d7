"""The runner: a configuration to an `AnalysisResult`, without files of results or figures."""
