"""What every room stands on: errors, progress and cancellation, devices, memory, caches."""
