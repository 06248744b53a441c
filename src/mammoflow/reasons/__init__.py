"""Why a case was left out; one module for each kind of cause."""
