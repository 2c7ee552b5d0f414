"""Storage for rows outside the broker: files in a folder that every host can reach."""
