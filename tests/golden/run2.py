"""`example_cms` with one sample a process and year, and three signals."""

from example_cms.configs.configuration import config as source
from tests.example_cms.conftest import small

config = small(source)
