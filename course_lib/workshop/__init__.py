"""What an instructor needs: student and instructor copies of the notebooks, slides, and a plan of the day."""
