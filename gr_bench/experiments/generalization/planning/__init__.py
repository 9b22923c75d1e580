"""Which trainings are to be done, as things stand."""
