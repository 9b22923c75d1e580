"""Tables, figures and sentences from the trainings' records."""
