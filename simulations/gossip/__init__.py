"""Many membership cores over a light virtual network: what the papers measured, measured again."""
