"""The trainings that are still to be done, as things stand."""
