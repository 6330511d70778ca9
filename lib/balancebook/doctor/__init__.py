"""Whether a profile's target can be reached and read, and which checks can work there. Nothing is written anywhere."""

from balancebook.doctor.examination import examine
from balancebook.doctor.report import Report, Row

__all__ = ["Report", "Row", "examine"]
